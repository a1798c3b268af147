"""
What law and operation ask of an axis, one line each, under the numbers this project names them by.

The titles are ours; the texts of the law govern. QĐ28 is Quyết định 28/2018/QĐ-TTg, NĐ30 is Nghị định 30/2020/NĐ-CP.
"""

from types import MappingProxyType

TITLES = MappingProxyType(
    {
        "LR-01": "Agencies exchange documents from their own systems; nobody works on the axis (QĐ28 Art. 1, 3)",
        "LR-02": "State secrets never travel on the axis (QĐ28 Art. 1.2)",
        "LR-03": "Who may take part, without change of code (QĐ28 Art. 2)",
        "LR-04": "A signed document has the value of paper, and the axis can prove it (QĐ28 Art. 4.1)",
        "LR-05": "What is not validly signed may travel for reference only, marked as such (QĐ28 Art. 4.2)",
        "LR-06": "Value of the original needs the signer's and the organ's signature (NĐ30 Art. 5)",
        "LR-07": "Every separate attachment is signed and judged by itself (NĐ30 Annex I)",
        "LR-08": "Whether paper follows is carried along (QĐ28 Art. 5.3, 7.2)",
        "LR-09": "Readiness of each organ: not connected, receive only, full (QĐ28 Art. 5.2, 7.1)",
        "LR-10": "One focal point per body (QĐ28 Art. 7.3)",
        "LR-11": "The Ministry of National Defence is reached at one point only (QĐ28 Art. 21.2)",
        "LR-12": "A way for organs whose system is not integrated (QĐ28 Art. 21.2)",
        "LR-13": "Sent on the day of signing, at the latest the next working morning (QĐ28 Art. 6.2)",
        "LR-14": "The wider limit of NĐ30 is measured too (NĐ30 Art. 4, 18, 23)",
        "LR-15": "Urgent documents overtake the rest (QĐ28 Art. 6.2)",
        "LR-16": "Three levels of urgency above normal (NĐ30 Art. 4.2.c)",
        "LR-17": "The sender hears the same day that a document was received (NĐ30 Art. 21.2.c)",
        "LR-18": "Nothing waits for paper (QĐ28 Art. 6.2)",
        "LR-19": "The sender can follow a document to every receiver (QĐ28 Art. 8.2)",
        "LR-20": "The receiver gets the bytes as sent, and a signed report to check them by (QĐ28 Art. 9.1)",
        "LR-21": "A receiver may return a document, with reason, to its sender (QĐ28 Art. 5.4, 9.1)",
        "LR-22": "Recall: pending copies are withdrawn, taken ones are asked back (QĐ28 Art. 8.2, 9.2)",
        "LR-23": "After a recall the content is gone and the trace of the recall stays (NĐ30 Annex VI)",
        "LR-24": "New, recall, update, replace (NĐ30 Art. 18.3)",
        "LR-25": "Requests to take back or update are answered yes or no",
        "LR-26": "Statuses return by themselves, in any order, and all are kept (QĐ28 Art. 6.3, 9.2, 14.2)",
        "LR-27": "A number used twice is noticed (NĐ30 Art. 15.1)",
        "LR-28": "A document comes with all its files (QĐ28 Art. 10.1)",
        "LR-29": "Time of sending and time of receiving are two facts (NĐ 64/2007 Art. 36)",
        "LR-30": "The sixteen groups of information of a document (QĐ28 Art. 10.2)",
        "LR-31": "Organ codes of 13 characters, read from the right (QĐ28 Art. 10.2.a)",
        "LR-32": "Organ codes of up to 35 characters, read from the left (QĐ 20/2020)",
        "LR-33": "Codes close and have successors (QĐ28 Art. 16.1, 19.1)",
        "LR-34": "Enterprises are addressed by their registration number (QĐ 20/2020)",
        "LR-35": "A document's id: organ, year, number (QĐ28 Art. 10.2.b)",
        "LR-36": "The edXML format of QCVN 102:2016, every error with its place (QĐ28 Art. 14)",
        "LR-37": "Conformity of connected systems can be shown (QĐ28 Art. 16.1)",
        "LR-38": "Lengths of the fields (NĐ30 Annex VI)",
        "LR-39": "Vietnamese in Unicode, compared in one normal form, kept as received",
        "LR-40": "How signatures are shown (NĐ30 Annex I)",
        "LR-41": "Registers of incoming and outgoing documents (NĐ30 Annex IV)",
        "LR-42": "Signatures hold through exchange and storage, byte for byte (TT 41/2017 Art. 4)",
        "LR-43": "How a signature is verified: key, certificate at signing time, integrity (TT 41/2017 Art. 7)",
        "LR-44": "The axis runs without interruption and loses nothing when a part fails",
        "LR-45": "Counts of every organ are made by the axis itself and agree (QĐ28 Art. 11)",
        "LR-46": "Counts are shared with other systems (QĐ28 Art. 14.3)",
        "LR-47": "The quarterly report (QĐ28 Art. 15.1)",
        "LR-48": "Connecting is documented and can be rehearsed (QĐ28 Art. 15.2)",
        "LR-49": "The history of each document is kept and shown (QĐ28 Art. 10.2.p)",
        "LR-50": "Six groups of functions (QĐ 626/2019 of the Government Office)",
        "LR-51": "How long documents take, by percentile; four levels of addressing (QĐ 626/2019)",
        "LR-52": "Works on the closed network, without the Internet (QĐ28 Art. 12)",
        "LR-53": "Connections are encrypted and authenticated (QĐ28 Art. 13.2)",
        "LR-54": "A security level is set and applied (QĐ28 Art. 13.1)",
        "LR-55": "Those who supervise can read everything but content (QĐ28 Art. 16.2)",
        "LR-56": "The axis is not the archive (QĐ28 Art. 19.1)",
        "LR-57": "Access, freezing, backup and their history (NĐ30 Annex VI)",
        "LR-58": "Nobody sends as somebody else",
        "LR-59": "Every error has a code that says whether trying again helps",
        "LR-60": "How long content is kept is a policy",
        "LR-61": "Direct connections and shared platforms with thousands of organs",
        "LR-62": "The directory of organs is given to the connected systems",
        "LR-63": "A delivery is offered until it is acknowledged",
        "LR-64": "Connecting and rotating keys step by step",
        "LR-65": "Documents stay apart from the sharing of data",
        "LR-66": "Marks of circulation are not secrecy (NĐ30 Annex I)",
        "LR-67": "Copies have the value of the original when made correctly (NĐ30 Art. 25-26)",
        "LR-68": "The time limit for an answer travels along (QĐ28 Art. 10.2.o)",
    }
)
"""Number -> what it asks for."""

SHOWN_BY = MappingProxyType(
    {
        "LR-01": ("compose/test_topology.py::test_a_document_goes_through",),
        "LR-04": (
            "evidence/test_judge.py::test_a_bundle_holds_in_every_step",
            "evidence/test_without_us.py::test_the_one_file_verifies_and_refuses",
        ),
        "LR-05": (
            "flow/test_judge.py::test_a_labelled_station_may_send_unsigned",
            "flow/test_record.py::test_an_unsigned_letter_of_a_labelled_station_says_why",
        ),
        "LR-06": (
            "signing/test_pdf.py::test_person_and_organ_make_an_original",
            "flow/test_value.py::test_the_value_follows_from_every_file",
            "e2e/test_value.py::test_killed_while_judging_everything_is_valued_once",
        ),
        "LR-07": (
            "signing/test_pdf.py::test_one_unsigned_annex_takes_the_value_away_and_is_named",
            "flow/test_value.py::test_the_value_follows_from_every_file",
        ),
        "LR-10": ("directory/test_acts.py::test_an_organ_has_one_station_at_a_time",),
        "LR-11": ("flow/test_judge.py::test_one_point_takes_everything_below_the_ministry_of_defence",),
        "LR-12": (
            "adapters/test_folder.py::test_a_received_document_appears_with_what_is_said_of_it",
            "e2e/test_files.py::test_sign_verify_spoil",
        ),
        "LR-15": (
            "flow/test_judge.py::test_urgent_letters_take_the_urgent_lane",
            "outbox/test_outbox.py::test_urgent_first_then_oldest_first",
        ),
        "LR-19": ("outbox/test_station_view.py::test_where_a_document_is",),
        "LR-20": ("outbox/test_station_view.py::test_payload_and_report_until_it_is_withdrawn",),
        "LR-23": ("web/test_contract.py::test_a_recalled_document_is_not_given_out",),
        "LR-24": (
            "edxml/test_round_trip.py::test_a_document_of_each_kind_comes_back_as_written",
            "flow/test_record.py::test_a_recall_carries_the_id_of_the_original",
        ),
        "LR-26": (
            "flow/test_record.py::test_a_status_reaches_the_sender_and_takes_the_delivery",
            "flow/test_record.py::test_the_shown_state_never_goes_back",
        ),
        "LR-27": ("flow/test_record.py::test_other_content_under_the_same_id_is_a_conflict",),
        "LR-28": ("edxml/test_quirks.py::test_the_verdict_is_that_of_the_table",),
        "LR-29": ("flow/test_record.py::test_a_hold_keeps_its_place_and_its_time",),
        "LR-31": ("directory/test_organ_import.py::test_three_forms_are_one_organ",),
        "LR-32": ("directory/test_organ_import.py::test_three_forms_are_one_organ",),
        "LR-33": (
            "directory/test_organ_import.py::test_closing_an_organ_names_its_successor",
            "flow/test_judge.py::test_a_closed_code_goes_to_its_successor",
        ),
        "LR-36": ("edxml/test_quirks.py::test_whoever_wrote_it_can_read_why",),
        "LR-39": ("core/test_model.py::test_people_find_texts_without_typing_marks",),
        "LR-42": ("signing/test_oracles.py::test_one_changed_byte_anywhere_signed_is_refused_by_ours",),
        "LR-43": ("signing/test_verify.py::test_the_same_message_is_judged_anew_for_each_moment",),
        "LR-44": (
            "adapters/test_killed.py::test_a_process_killed_while_receiving_loses_nothing",
            "compose/test_topology.py::test_the_other_hub_goes_on_when_one_is_killed",
            "ledger/test_sequencer_killed.py::test_killed_at_any_point",
        ),
        "LR-49": ("ledger/test_queries.py::test_the_whole_life_of_a_document",),
        "LR-52": ("web/test_api.py::test_no_page_loads_anything_from_elsewhere",),
        "LR-57": ("directory/test_acts.py::test_an_act_says_who_why_before_and_after",),
        "LR-58": (
            "adapters/test_over_amqp.py::test_a_message_as_somebody_else_is_refused_by_the_broker",
            "flow/test_acknowledge.py::test_nobody_speaks_for_anothers_delivery",
        ),
        "LR-61": (
            "directory/test_organ_import.py::test_hanoi_has_22_departments_30_districts_and_584_communes",
        ),
        "LR-63": (
            "flow/test_acknowledge.py::test_a_failure_is_offered_again_by_the_schedule_and_then_fails",
        ),
        "LR-67": (
            "signing/test_pdf.py::test_one_signature_is_worth_less",
            "flow/test_value.py::test_the_value_follows_from_every_file",
        ),
        "LR-66": ("flow/test_secrecy.py::test_ordinary_words_are_no_mark",),
    }
)
"""Tests that show a requirement and were not written for it, below `tests/`. Others bear the marker themselves."""
